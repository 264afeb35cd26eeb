# One image for every process of the full system; the command chooses which.
FROM python:3.12-slim-bookworm AS build
WORKDIR /app
RUN python -m venv /venv
COPY requirements/base.txt requirements/
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/base.txt
COPY . .
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
RUN useradd --system --create-home --home-dir /data gatewayz \
  && mkdir /secret && chown gatewayz /secret && chmod 0700 /data /secret
COPY --from=build /venv /venv
USER gatewayz
WORKDIR /data
ENV PATH=/venv/bin:$PATH GATEWAYZ_HOME=/data GATEWAYZ_HOST=0.0.0.0
VOLUME /data
EXPOSE 8000
CMD ["gatewayz", "serve"]
